// Asking the service, with the token where it wants one.

const KEPT = "genvm-manager token";

/** The service's answer was no. `status` is HTTP's; `message` is its own sentence. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Requests to the service that this page comes from. */
export class Client {
  #ask;
  #asking = null;

  /** `ask` gives the token that somebody types; it is told whether the one before was wrong. */
  constructor(ask) {
    this.#ask = ask;
  }

  get hasToken() {
    return sessionStorage.getItem(KEPT) !== null;
  }

  forgetToken() {
    sessionStorage.removeItem(KEPT);
  }

  /** The JSON of a reply. Throws `Refused`, or what `fetch` does when nobody answers. */
  async json(method, path, body) {
    const response = await this.open(method, path, { body: body && JSON.stringify(body) });
    return response.json();
  }

  /** A response that has begun well; its body is still to come. */
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

  /** All requests that are refused at one time wait for one answer. */
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
