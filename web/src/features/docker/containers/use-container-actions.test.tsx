import { act, renderHook, waitFor } from "@testing-library/react";
import { expect, test } from "vitest";
import { useContainerAction } from "@/api/docker";
import { useContainerActions } from "@/features/docker/containers/use-container-actions";
import { json, problem, stubApi } from "@/testing/api-stub";
import { TestProviders } from "@/testing/providers";

function both() {
  return renderHook(
    () => ({ states: useContainerActions("v1"), start: useContainerAction("v1").mutate }),
    { wrapper: TestProviders },
  ).result;
}

test("an action is pending until it is answered", async () => {
  let answer: (response: Response) => void = () => undefined;
  stubApi({
    "POST /vps/v1/docker/containers/c1/stop": () =>
      new Promise<Response>((resolve) => {
        answer = resolve;
      }),
  });
  const hook = both();
  act(() => hook.current.start({ cid: "c1", act: "stop" }));
  await waitFor(() =>
    expect(hook.current.states.pending.get("c1")).toEqual({ act: "stop", error: null }),
  );
  await act(async () => answer(json({ id: "c1" })));
  await waitFor(() => expect(hook.current.states.pending.size).toBe(0));
});

test("a failure stays with its container until it is dismissed or the action succeeds", async () => {
  let broken = true;
  stubApi({
    "POST /vps/v1/docker/containers/c1/start": () =>
      broken ? problem("agent-failed", 502, "no") : json({ id: "c1" }),
    "POST /vps/v1/docker/containers/c2/start": () => problem("agent-failed", 502, "no"),
  });
  const hook = both();
  act(() => hook.current.start({ cid: "c1", act: "start" }));
  await waitFor(() => expect(hook.current.states.pending.get("c1")?.error).toBeTruthy());
  act(() => hook.current.start({ cid: "c2", act: "start" }));
  await waitFor(() => expect(hook.current.states.pending.get("c2")?.error).toBeTruthy());

  broken = false;
  act(() => hook.current.start({ cid: "c1", act: "start" }));
  await waitFor(() => expect(hook.current.states.pending.has("c1")).toBe(false));
  act(() => hook.current.states.dismiss("c2"));
  await waitFor(() => expect(hook.current.states.pending.size).toBe(0));
});
