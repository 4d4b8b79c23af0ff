// Answers to the first requests of a visit. public/start.js sends them while the code is loading.
declare global {
  interface Window {
    flotillaEarly?: Record<string, Promise<Response>>;
  }
}

// An answer is of the moment at which the page was opened, so an older one is not used.
const MAX_AGE = 20_000; // ms

// Return the answer to this request if it was sent early; each is returned once.
export function takeEarly(request: Request): Promise<Response> | undefined {
  const answers = window.flotillaEarly;
  if (!answers) return undefined;
  const { pathname, search } = new URL(request.url);
  const name = `${request.method} ${pathname}${search}`;
  const answer = answers[name];
  delete answers[name];
  return performance.now() < MAX_AGE ? answer : undefined;
}
