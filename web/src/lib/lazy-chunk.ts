import { UnreachableError } from "@/lib/described-error";

// A chunk of the console could not be loaded: the gateway is unreachable, or an upgrade has
// replaced the chunk. In both cases the page must be reloaded.
export class MissingChunkError extends UnreachableError {}

export async function loadChunk<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new MissingChunkError("a part of the console could not be loaded", { cause });
  }
}
