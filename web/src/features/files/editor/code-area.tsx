import { Compartment, EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { type RefObject, useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import styles from "@/features/files/editor/editor.module.css";
import { basics } from "@/features/files/editor/editor-setup";
import { languageOf } from "@/features/files/editor/languages";
import { separatorOf } from "@/features/files/editor/line-breaks";

interface Props {
  name: string;
  text: string;
  readOnly: boolean;
  wrap: boolean;
  // Gives the page access to the text.
  view: RefObject<EditorView | null>;
  onChange: () => void;
}

export function CodeArea({ name, text, readOnly, wrap, view, onChange }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const wrapping = useRef(new Compartment());
  const now = useRef({ onChange, wrap });
  now.current = { onChange, wrap };
  const label = t("editor.label", { name });

  useEffect(() => {
    const parent = box.current;
    if (!parent) return undefined;
    const language = new Compartment();
    const editor = new EditorView({
      parent,
      state: EditorState.create({
        doc: text,
        extensions: [
          basics(separatorOf(text), label, readOnly),
          language.of([]),
          wrapping.current.of(now.current.wrap ? EditorView.lineWrapping : []),
          EditorView.updateListener.of((update) => update.docChanged && now.current.onChange()),
        ],
      }),
    });
    view.current = editor;
    editor.focus();
    let disposed = false;
    // Editing works without highlighting.
    languageOf(name).then(
      (found) => !disposed && found && editor.dispatch({ effects: language.reconfigure(found) }),
      () => undefined,
    );
    return () => {
      disposed = true;
      view.current = null;
      editor.destroy();
    };
  }, [name, text, readOnly, label, view]);

  useEffect(() => {
    const extension = wrap ? EditorView.lineWrapping : [];
    view.current?.dispatch({ effects: wrapping.current.reconfigure(extension) });
  }, [wrap, view]);

  return <div ref={box} className={styles.code} data-testid="editor" />;
}
