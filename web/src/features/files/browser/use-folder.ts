import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { useNavigate } from "react-router";
import { entryQuery, type FileListing, filesQuery } from "@/api/files";
import { isProblem } from "@/api/problem";
import { baseName, parentOf } from "@/features/files/paths";

// The problems that a server answers with when it is asked to list something that is not a folder.
const NOT_A_FOLDER = ["/problems/agent-not-found", "/problems/agent-invalid"] as const;

export interface Folder {
  listing: FileListing | undefined;
  readAt: number; // ms since the epoch
  error: Error | null;
  refetch: () => void;
}

// Lists a folder. Where the path leads to a file, the file is opened in its folder instead.
export function useFolder(vpsId: string, path: string, root: string): Folder {
  const navigate = useNavigate();
  const { data: listing, error, dataUpdatedAt, refetch } = useQuery(filesQuery(vpsId, path));
  const mayBeFile = isProblem(error, ...NOT_A_FOLDER) && path !== root;
  const { data: entry, isError } = useQuery({ ...entryQuery(vpsId, path), enabled: mayBeFile });
  const isFile = mayBeFile && (entry?.kind === "file" || entry?.kind === "link");

  useEffect(() => {
    if (!isFile) return;
    const search = new URLSearchParams({ path: parentOf(path), file: baseName(path) });
    void navigate({ search: search.toString() }, { replace: true });
  }, [isFile, path, navigate]);

  const undecided = mayBeFile && (isFile || (entry === undefined && !isError));
  return {
    listing,
    readAt: dataUpdatedAt,
    error: undecided ? null : error,
    refetch: () => void refetch(),
  };
}
