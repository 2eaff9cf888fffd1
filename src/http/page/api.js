// The service's own interface: requests, errors in plain words, the matching curl line.

const KEY = "nin-serve-key";

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
};

/** An error with a sentence for people. */
export class Trouble extends Error {
  constructor(words, code) {
    super(words);
    this.code = code;
  }
}

const WORDS = {
  "unsupported-image": "This is not a picture that the service can read. It takes JPEG, PNG, GIF, WebP, BMP, TIFF, PNM and QOI, whatever the file is called.",
  "corrupt-image": "The picture is broken or cut short, so there is nothing to classify. Was it saved or sent completely?",
  "empty-body": "The file is empty.",
  "missing-image": "The file is empty.",
  "image-too-large": "The picture has too many pixels for this service. Make it smaller and try again.",
  "body-too-large": "The file is larger than this service accepts. Make the picture smaller and try again.",
  overloaded: "The service is busy at the moment. Try again shortly.",
  "deadline-exceeded": "There was no answer in time: the service is busy. Try again shortly.",
  "request-timeout": "The picture took too long to arrive.",
  "shutting-down": "The service is about to stop. Try again in a while.",
  "inference-failed": "The network failed on this picture. The service’s log says why.",
  "internal-error": "The service met an error of its own. Its log says why.",
  unauthorized: "The service asks for its API key.",
};

async function trouble(response) {
  const problem = await response.json().catch(() => ({}));
  const words = WORDS[problem.code] ?? [problem.title, problem.detail].filter(Boolean).join(": ");
  return new Trouble(words || `The service answered with status ${response.status}.`, problem.code);
}

/** An answer of the service, or a Trouble. */
export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (key.get()) headers.set("authorization", `Bearer ${key.get()}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Trouble("The service does not answer. Is it still running?", "unreachable");
  }
  if (!response.ok) throw await trouble(response);
  return response;
}

/** What `/classify` says of a file, with the times it took in milliseconds. */
export async function classify(file, model) {
  const response = await ask(classifyPath(model), { method: "POST", body: file });
  return { answer: await response.json(), times: times(response.headers.get("server-timing")) };
}

/** Where the network saw a class. */
export async function explain(file, model, index) {
  const response = await ask(`explain?${new URLSearchParams({ model, class: index })}`, { method: "POST", body: file });
  return response.json();
}

/** The picture as the service sees it, with its heat map: for formats that browsers can't show. */
export async function overlay(file, model) {
  const headers = { accept: "image/png" };
  const response = await ask(`explain?${new URLSearchParams({ model })}`, { method: "POST", body: file, headers });
  return response.blob();
}

function classifyPath(model) {
  return `classify?${new URLSearchParams({ model, explain: true })}`;
}

/** The same request for a terminal. */
export function curl(name, model) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const auth = key.get() ? ' -H "Authorization: Bearer $NIN_API_KEY"' : "";
  const url = new URL(classifyPath(model), document.baseURI);
  return `curl${auth} --data-binary ${quoted(`@${name}`)} ${quoted(url.href)}`;
}

function times(header) {
  const stages = [...(header ?? "").matchAll(/(\w+);dur=([\d.]+)/g)];
  return Object.fromEntries(stages.map(([, name, duration]) => [name, Number(duration)]));
}
