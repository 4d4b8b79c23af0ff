import { StreamLanguage, type StreamParser } from "@codemirror/language";
import type { Extension } from "@codemirror/state";

type Load = () => Promise<StreamParser<unknown>>;

const shell: Load = async () => (await import("@codemirror/legacy-modes/mode/shell")).shell;
const javascript: Load = async () =>
  (await import("@codemirror/legacy-modes/mode/javascript")).javascript;
const json: Load = async () => (await import("@codemirror/legacy-modes/mode/javascript")).json;
const python: Load = async () => (await import("@codemirror/legacy-modes/mode/python")).python;
const yaml: Load = async () => (await import("@codemirror/legacy-modes/mode/yaml")).yaml;
const toml: Load = async () => (await import("@codemirror/legacy-modes/mode/toml")).toml;
const nginx: Load = async () => (await import("@codemirror/legacy-modes/mode/nginx")).nginx;
const docker: Load = async () =>
  (await import("@codemirror/legacy-modes/mode/dockerfile")).dockerFile;
const properties: Load = async () =>
  (await import("@codemirror/legacy-modes/mode/properties")).properties;

const ENDINGS: Readonly<Record<string, Load>> = {
  sh: shell,
  bash: shell,
  js: javascript,
  mjs: javascript,
  json,
  py: python,
  yml: yaml,
  yaml,
  toml,
  conf: nginx,
  dockerfile: docker,
  ini: properties,
  env: properties,
  properties,
  service: properties,
  timer: properties,
};

const NAMES: Readonly<Record<string, Load>> = {
  dockerfile: docker,
  ".bashrc": shell,
  ".profile": shell,
  ".env": properties,
};

// Choose the highlighting by the name of the file; null if no language fits.
export async function languageOf(name: string): Promise<Extension | null> {
  const lower = name.toLowerCase();
  const load = NAMES[lower] ?? ENDINGS[lower.split(".").at(-1) ?? ""];
  return load ? StreamLanguage.define(await load()) : null;
}
