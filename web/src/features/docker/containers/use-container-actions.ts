import { useMutationState, useQueryClient } from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import { type ContainerActionRequest, dockerKeys } from "@/api/docker";

export interface PendingAction {
  act: ContainerActionRequest["act"];
  error: unknown; // null while the action is running
}

export interface ActionStates {
  // The running or last failed action, by container id.
  pending: ReadonlyMap<string, PendingAction>;
  dismiss: (cid: string) => void;
}

export function useContainerActions(id: string): ActionStates {
  const client = useQueryClient();
  const mutationKey = dockerKeys.acts(id);
  const requests = useMutationState({
    filters: { mutationKey },
    select: ({ state }) => ({
      request: state.variables as ContainerActionRequest | undefined,
      status: state.status,
      error: state.error,
    }),
  });
  const pending = useMemo(() => {
    const newest = new Map<string, PendingAction>();
    for (const { request, status, error } of requests) {
      if (!request) continue;
      if (status === "success") newest.delete(request.cid);
      else newest.set(request.cid, { act: request.act, error: status === "error" ? error : null });
    }
    return newest;
  }, [requests]);
  const dismiss = useCallback(
    (cid: string) => {
      const cache = client.getMutationCache();
      for (const one of cache.findAll({ mutationKey: dockerKeys.acts(id), status: "error" })) {
        if ((one.state.variables as ContainerActionRequest | undefined)?.cid === cid)
          cache.remove(one);
      }
    },
    [client, id],
  );
  return { pending, dismiss };
}
