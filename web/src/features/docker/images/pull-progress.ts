import type { PullEvent } from "@/api/docker";

export interface Layer {
  id: string;
  status: string;
  // Bytes of the step that the status names; null if it has no amount.
  share: number | null;
}

export interface Pull {
  layers: readonly Layer[];
  // The last status of the image as a whole.
  status: string;
  end: { done: boolean; reason: string } | null;
}

export const EMPTY_PULL: Pull = { layers: [], status: "", end: null };

const MAX_LAYERS = 200;

export function progressed(pull: Pull, event: PullEvent): Pull {
  if (event.event) {
    return { ...pull, end: { done: event.event === "finished", reason: event.reason ?? "" } };
  }
  const { layer = "", status = "", current_bytes: current = 0, total_bytes: total = 0 } = event;
  if (layer === "") return { ...pull, status };
  const share = total > 0 ? Math.min(1, current / total) : null;
  const next: Layer = { id: layer, status, share };
  const at = pull.layers.findIndex(({ id }) => id === layer);
  if (at >= 0) return { ...pull, layers: pull.layers.with(at, next) };
  if (pull.layers.length >= MAX_LAYERS) return pull;
  return { ...pull, layers: [...pull.layers, next] };
}

// A stream without a last event was cut off.
export function cutOff(pull: Pull, reason: string): Pull {
  return pull.end ? pull : { ...pull, end: { done: false, reason } };
}
