import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";

const look = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--pane)", fontSize: "12.5px" },
  // The frame around the editor shows the focus.
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": {
    fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, monospace',
    lineHeight: "1.55",
  },
  ".cm-content": { caretColor: "var(--accent)" },
  ".cm-cursor": { borderLeftColor: "var(--accent)" },
  ".cm-gutters": {
    color: "var(--faint)",
    backgroundColor: "var(--pane)",
    borderRight: "1px solid var(--line)",
  },
  ".cm-activeLine, .cm-activeLineGutter": {
    backgroundColor: "color-mix(in srgb, var(--track) 45%, transparent)",
  },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground":
    { backgroundColor: "color-mix(in srgb, var(--accent) 28%, transparent)" },
  ".cm-selectionMatch, .cm-searchMatch": {
    backgroundColor: "color-mix(in srgb, var(--warn) 30%, transparent)",
  },
  ".cm-searchMatch-selected": { outline: "2px solid var(--warn)" },
  ".cm-specialChar": { color: "var(--bad)" },
  ".cm-panels": {
    color: "var(--ink)",
    backgroundColor: "var(--raise)",
    borderColor: "var(--line)",
  },
  ".cm-textfield": {
    border: "1px solid var(--line)",
    borderRadius: "6px",
    color: "var(--ink)",
    backgroundColor: "var(--pane)",
  },
  ".cm-button": {
    border: "1px solid var(--line)",
    borderRadius: "6px",
    color: "var(--ink)",
    backgroundImage: "none",
    backgroundColor: "var(--pane)",
  },
  ".cm-insertedLine, .cm-changedLine": {
    backgroundColor: "color-mix(in srgb, var(--ok) 14%, transparent) !important",
  },
  ".cm-deletedChunk, .cm-deletedLine": {
    backgroundColor: "color-mix(in srgb, var(--bad) 14%, transparent) !important",
  },
});

const colours = HighlightStyle.define([
  { tag: tags.comment, color: "var(--faint)" },
  { tag: [tags.keyword, tags.definitionKeyword, tags.controlKeyword], color: "var(--violet)" },
  { tag: [tags.string, tags.special(tags.string), tags.inserted], color: "var(--ok)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--warn)" },
  { tag: [tags.propertyName, tags.attributeName, tags.variableName], color: "var(--ink)" },
  { tag: [tags.standard(tags.variableName), tags.tagName, tags.heading], color: "var(--accent)" },
  { tag: [tags.meta, tags.deleted, tags.invalid], color: "var(--bad)" },
]);

// The extensions of every editor.
export function basics(separator: string, label: string, readOnly: boolean): Extension {
  return [
    EditorState.lineSeparator.of(separator),
    EditorState.readOnly.of(readOnly),
    EditorView.contentAttributes.of({ "aria-label": label }),
    lineNumbers(),
    highlightSpecialChars(),
    history(),
    drawSelection(),
    bracketMatching(),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    highlightSelectionMatches(),
    search({ top: true }),
    syntaxHighlighting(colours),
    keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, indentWithTab]),
    look,
  ];
}
