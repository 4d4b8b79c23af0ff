import { useMutationState, useQueryClient } from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import { dockerKeys, type Order } from "@/api/docker";

export interface Doing {
  act: Order["act"];
  error: unknown; // null while it is on its way
}

export interface Acts {
  // By container id: what is being done to it, or what failed last.
  doing: ReadonlyMap<string, Doing>;
  dismiss: (cid: string) => void;
}

export function useActs(id: string): Acts {
  const client = useQueryClient();
  const mutationKey = dockerKeys.acts(id);
  const orders = useMutationState({
    filters: { mutationKey },
    select: ({ state }) => ({
      order: state.variables as Order | undefined,
      status: state.status,
      error: state.error,
    }),
  });
  const doing = useMemo(() => {
    const newest = new Map<string, Doing>();
    for (const { order, status, error } of orders) {
      if (!order) continue;
      if (status === "success") newest.delete(order.cid);
      else newest.set(order.cid, { act: order.act, error: status === "error" ? error : null });
    }
    return newest;
  }, [orders]);
  const dismiss = useCallback(
    (cid: string) => {
      const cache = client.getMutationCache();
      for (const one of cache.findAll({ mutationKey: dockerKeys.acts(id), status: "error" })) {
        if ((one.state.variables as Order | undefined)?.cid === cid) cache.remove(one);
      }
    },
    [client, id],
  );
  return { doing, dismiss };
}
