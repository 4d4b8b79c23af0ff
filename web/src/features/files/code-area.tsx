import { Compartment, EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { type RefObject, useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { basics } from "@/features/files/code";
import styles from "@/features/files/editor.module.css";
import { languageOf } from "@/features/files/languages";
import { separatorOf } from "@/features/files/line-breaks";

interface Props {
  name: string;
  text: string;
  readOnly: boolean;
  wrap: boolean;
  // Where the page finds what is in it.
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
    let gone = false;
    // Without colours it can be edited as well.
    languageOf(name).then(
      (found) => !gone && found && editor.dispatch({ effects: language.reconfigure(found) }),
      () => undefined,
    );
    return () => {
      gone = true;
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
