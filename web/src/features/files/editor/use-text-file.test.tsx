import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { act, renderHook, waitFor } from "@testing-library/react";
import { expect, test } from "vitest";
import { useTextFile } from "@/features/files/editor/use-text-file";
import { json, problem, stubApi } from "@/testing/api-stub";
import { TestProviders } from "@/testing/providers";

const CONTENT = "/vps/v1/files/content";

function content(text: string, version: string) {
  return { content: text, version };
}

async function opened() {
  const view = { current: new EditorView({ state: EditorState.create({ doc: "" }) }) };
  const { result } = renderHook(() => useTextFile("v1", "/etc/motd", view), {
    wrapper: TestProviders,
  });
  await waitFor(() => expect(result.current.loaded ?? result.current.loadError).toBeTruthy());
  const type = (text: string) =>
    act(() => {
      view.current.dispatch({
        changes: { from: 0, to: view.current.state.doc.length, insert: text },
      });
      result.current.markChanged();
    });
  return { file: result, type };
}

test("a text is saved over the version that was read", async () => {
  const requests = stubApi({
    [`GET ${CONTENT}`]: content("hello", "1"),
    [`PUT ${CONTENT}`]: { name: "motd", version: "2" },
  });
  const { file, type } = await opened();
  expect(file.current.loaded).toEqual(content("hello", "1"));
  type("hello there");
  expect(file.current.changed).toBe(true);

  act(() => file.current.save());
  await waitFor(() => expect(file.current.saved).toBe(true));
  expect(requests.at(-1)?.body).toEqual(content("hello there", "1"));
  expect(file.current.changed).toBe(false);

  type("hello again");
  act(() => file.current.save());
  await waitFor(() => expect(requests.at(-1)?.body).toEqual(content("hello again", "2")));
});

test("text typed while a save is running is not saved yet", async () => {
  let answer: (response: Response) => void = () => undefined;
  stubApi({
    [`GET ${CONTENT}`]: content("", "1"),
    [`PUT ${CONTENT}`]: () => new Promise<Response>((resolve) => (answer = resolve)),
  });
  const { file, type } = await opened();
  type("one");
  act(() => file.current.save());
  await waitFor(() => expect(file.current.saving).toBe(true));
  type("one and two");
  answer(json({ name: "motd", version: "2" }));

  await waitFor(() => expect(file.current.saving).toBe(false));
  expect(file.current.changed).toBe(true);
});

test("a file that somebody else changed is not overwritten without an answer", async () => {
  let theirs = content("hello", "1");
  const requests = stubApi({
    [`GET ${CONTENT}`]: () => json(theirs),
    [`PUT ${CONTENT}`]: ({ body }) =>
      (body as { version: string }).version === theirs.version
        ? json({ name: "motd", version: "9" })
        : problem("agent-conflict", 409),
  });
  const { file, type } = await opened();
  theirs = content("theirs", "5");
  type("mine");
  act(() => file.current.save());
  await waitFor(() => expect(file.current.conflict).toEqual(theirs));
  expect([file.current.saved, file.current.changed]).toEqual([false, true]);

  act(() => file.current.overwrite());
  await waitFor(() => expect(file.current.saved).toBe(true));
  expect(requests.at(-1)?.body).toEqual(content("mine", "5"));
  expect(file.current.conflict).toBeNull();
});

test("the version of somebody else can replace one's own text", async () => {
  let theirs = content("hello", "1");
  stubApi({
    [`GET ${CONTENT}`]: () => json(theirs),
    [`PUT ${CONTENT}`]: () => problem("file-changed", 409),
  });
  const { file, type } = await opened();
  theirs = content("theirs", "5");
  type("mine");
  act(() => file.current.save());
  await waitFor(() => expect(file.current.conflict).not.toBeNull());

  act(() => file.current.discardMine());

  await waitFor(() => expect(file.current.loaded).toEqual(theirs));
  expect([file.current.changed, file.current.conflict]).toEqual([false, null]);
});

test("a failed save keeps the text and reports the error", async () => {
  stubApi({
    [`GET ${CONTENT}`]: content("hello", "1"),
    [`PUT ${CONTENT}`]: () => problem("agent-forbidden", 403, "no"),
  });
  const { file, type } = await opened();
  type("mine");
  act(() => file.current.save());

  await waitFor(() => expect(file.current.saveError?.message).toBe("no"));
  expect([file.current.changed, file.current.conflict]).toEqual([true, null]);
});

test("a file that cannot be read can be read again", async () => {
  let available = false;
  stubApi({
    [`GET ${CONTENT}`]: () =>
      available ? json(content("hello", "1")) : problem("file-not-text", 422),
  });
  const { file } = await opened();
  expect(file.current.loadError).not.toBeNull();
  available = true;
  act(() => file.current.reload());

  await waitFor(() => expect(file.current.loaded?.content).toBe("hello"));
  expect(file.current.loadError).toBeNull();
});
