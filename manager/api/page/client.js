// Requests to the service, with its token where one is required.

const KEPT = "genvm-manager token";

/** The service refused; `status` is HTTP's, `message` the service's sentence. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Sends requests to the service that served this page. */
export class Client {
  #ask;
  #asking = null;

  /** `ask` returns the token that the user types; its argument says whether the last was wrong. */
  constructor(ask) {
    this.#ask = ask;
  }

  get hasToken() {
    return sessionStorage.getItem(KEPT) !== null;
  }

  forgetToken() {
    sessionStorage.removeItem(KEPT);
  }

  /** Return the JSON of a reply. Throws `Refused`, or the error of `fetch`. */
  async json(method, path, body) {
    const response = await this.open(method, path, { body: body && JSON.stringify(body) });
    return response.json();
  }

  /** Return a successful response whose body has not been read. */
  async open(method, path, { body, signal } = {}) {
    for (;;) {
      const token = sessionStorage.getItem(KEPT);
      const response = await fetch(path, {
        method, body, signal,
        headers: token === null ? {} : { Authorization: `Bearer ${token}` },
        cache: "no-store", credentials: "omit", redirect: "error",
      });
      if (response.ok) return response;
      if (response.status !== 401) throw new Refused(response.status, await reason(response));
      await this.#renewToken(token);
    }
  }

  /** All requests that are refused at the same time wait for one dialog. */
  async #renewToken(refused) {
    if (sessionStorage.getItem(KEPT) !== refused) return;
    this.#asking ??= this.#ask(refused !== null).finally(() => { this.#asking = null; });
    sessionStorage.setItem(KEPT, await this.#asking);
  }
}

async function reason(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `the service answered ${response.status}`;
  }
}
