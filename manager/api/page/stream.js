// Reads /events with fetch, since EventSource cannot send a token.

const DELAYS = [150, 500, 1000, 2000, 3000, 5000]; // milliseconds before each further attempt
const SILENT_ATTEMPTS = 2; // failed attempts before the user is told
const SILENCE = 40_000; // milliseconds; the service sends something every 15 s
const HIDDEN_TIMEOUT = 10_000; // milliseconds after which a background tab disconnects

/**
 * Passes each event to `take(name, data)`, and each change of the connection to `tell(state)`:
 * `{is: "connecting" | "live" | "paused"}`, or `{is: "lost", since, reason}` in milliseconds.
 */
export class Stream {
  #client;
  #take;
  #tell;
  #state = null;
  #attempts = 0;
  #wake = () => {};
  #abort = new AbortController();
  #since = null;

  constructor(client, take, tell) {
    this.#client = client;
    this.#take = take;
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => this.#seen());
    addEventListener("online", () => this.#wake());
  }

  /** Read events while the page is open. */
  async run() {
    this.#set({ is: "connecting" });
    for (;;) {
      await this.#untilVisible();
      try {
        await this.#follow();
        this.#since ??= Date.now();
      } catch (error) {
        this.#since ??= Date.now();
        if (!document.hidden && this.#attempts >= SILENT_ATTEMPTS) this.#lose(error);
      }
      await this.#pause();
    }
  }

  async #follow() {
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const response = await this.#client.open("GET", "events", { signal });
    const watch = new Silence(() => this.#abort.abort(new Error("it has fallen silent")));
    try {
      for await (const [name, data] of events(response.body, watch)) {
        this.#attempts = 0;
        this.#since = null;
        this.#take(name, JSON.parse(data));
        this.#set({ is: "live" });
      }
    } finally {
      watch.stop();
    }
  }

  #lose(error) {
    const reason = error instanceof TypeError ? "the service does not answer" : error.message;
    this.#set({ is: "lost", since: this.#since, reason });
  }

  #pause() {
    const delay = DELAYS[Math.min(this.#attempts, DELAYS.length - 1)];
    this.#attempts += 1;
    return this.#sleep(delay * (0.8 + 0.4 * Math.random()));
  }

  async #untilVisible() {
    if (!document.hidden) return;
    this.#set({ is: "paused" });
    while (document.hidden) await this.#sleep(60_000);
    this.#since = null;
    this.#set({ is: "connecting" });
  }

  #sleep(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => { clearTimeout(timer); resolve(); };
    });
  }

  #seen() {
    if (!document.hidden) this.#wake();
    else setTimeout(() => document.hidden && this.#abort.abort(), HIDDEN_TIMEOUT);
  }

  #set(state) {
    const { is, reason } = this.#state ?? {};
    this.#state = state;
    if (is !== state.is || reason !== state.reason) this.#tell(state);
  }
}

/** Calls `late` when nothing was received for too long. */
class Silence {
  #late;
  #timer;

  constructor(late) {
    this.#late = late;
    this.heard();
  }

  heard() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#late, SILENCE);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** Yields the name and data of each event in a body. */
async function* events(body, watch) {
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    watch.heard();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = new Map(block.split("\n").map((line) => line.split(/: (.*)/, 2)));
      if (fields.has("event")) yield [fields.get("event"), fields.get("data")];
    }
  }
}
