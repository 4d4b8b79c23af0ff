import type { Text } from "@codemirror/state";
import type { EditorView } from "@codemirror/view";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type RefObject, useState } from "react";
import { contentQuery, type FileContent, saveContent, useRefreshFiles } from "@/api/files";

interface Draft {
  // The text in the editor when saving began.
  document: Text;
  content: string;
  version: string;
}

export interface TextFile {
  // The text that the editor started from.
  loaded: FileContent | undefined;
  loadError: Error | null;
  reload: () => void;
  // True while the editor holds text that is not saved.
  changed: boolean;
  markChanged: () => void;
  saving: boolean;
  saved: boolean;
  saveError: Error | null;
  // The content on the server, when somebody else changed the file since it was loaded.
  conflict: FileContent | null;
  save: () => void;
  // Answers to a conflict.
  overwrite: () => void;
  discardMine: () => void;
  keepEditing: () => void;
}

export function useTextFile(
  vpsId: string,
  path: string,
  view: RefObject<EditorView | null>,
): TextFile {
  const client = useQueryClient();
  const refresh = useRefreshFiles(vpsId);
  const query = contentQuery(vpsId, path);
  const { data: loaded, error: loadError, refetch } = useQuery(query);
  const [version, setVersion] = useState<string | null>(null); // since the last save
  const [changed, setChanged] = useState(false);
  const [conflict, setConflict] = useState<FileContent | null>(null);

  const saving = useMutation({
    mutationFn: ({ content, version: over }: Draft) =>
      saveContent(vpsId, path, { content, version: over }),
    onSuccess: (outcome, { document }) => {
      if ("conflict" in outcome) {
        setConflict(outcome.conflict);
        return;
      }
      setConflict(null);
      setVersion(outcome.saved.version);
      // Text typed during the request is not saved yet.
      setChanged(view.current?.state.doc !== document);
      void refresh();
    },
  });

  const saveOver = (over: string | undefined) => {
    const state = view.current?.state;
    if (!state || over === undefined || saving.isPending) return;
    saving.mutate({ document: state.doc, content: state.sliceDoc(), version: over });
  };

  const discardMine = () => {
    if (!conflict) return;
    client.setQueryData(query.queryKey, conflict);
    setVersion(null);
    setChanged(false);
    setConflict(null);
    saving.reset();
  };

  return {
    loaded,
    loadError: loaded ? null : loadError,
    reload: () => void refetch(),
    changed,
    markChanged: () => setChanged(true),
    saving: saving.isPending,
    saved: saving.data !== undefined && "saved" in saving.data,
    saveError: saving.error,
    conflict,
    save: () => saveOver(version ?? loaded?.version),
    overwrite: () => saveOver(conflict?.version),
    discardMine,
    keepEditing: () => setConflict(null),
  };
}
