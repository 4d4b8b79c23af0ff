import { UnreachableError } from "@/api/problem";

// A part of the console that could not be fetched: the way to the gateway is cut, or an upgrade has
// replaced the part. Either way only a fresh page helps.
export class MissingPartError extends UnreachableError {}

export async function loadPart<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new MissingPartError("a part of the console could not be loaded", { cause });
  }
}
