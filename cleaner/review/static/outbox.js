// Decisions on their way to the server, one after the other, kept in the browser until the server confirms that they are
// saved. Each has an id of its own, so sending it again after a crash never saves it twice.

export class Refused extends Error {}

export async function getJson(path, parameters = {}) {
  const query = new URLSearchParams(parameters);
  const answer = await fetch(`${path}?${query}`, { credentials: "same-origin" });
  const document = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  if (!answer.ok) {
    const error = new Refused(document.error);
    error.status = answer.status;
    throw error;
  }
  return document;
}

export function newRequestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  // `onSaved(entry, answer)`, `onRefused(entry, why)`, `onState(numWaiting, trouble)`
  constructor(name, handlers) {
    this.name = `cleaner-outbox-${name}`;
    this.handlers = handlers;
    this.waiting = [];
    this.trouble = "";
    this.sending = false;
    try {
      this.waiting = JSON.parse(localStorage.getItem(this.name) || "[]");
    } catch {
      localStorage.removeItem(this.name);
    }
    addEventListener("online", () => this.send());
  }

  put(entry) {
    this.waiting.push(entry);
    this.keep();
    this.send();
  }

  keep() {
    try {
      if (this.waiting.length) localStorage.setItem(this.name, JSON.stringify(this.waiting));
      else localStorage.removeItem(this.name);
    } catch { /* without storage a reload loses what the server has not confirmed */ }
    this.handlers.onState(this.waiting.length, this.trouble);
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    let pause = 250;
    while (this.waiting.length) {
      const entry = this.waiting[0];
      const outcome = await this.post(entry);
      if (outcome.again) {
        this.trouble = outcome.again;
        this.handlers.onState(this.waiting.length, this.trouble);
        await new Promise((done) => setTimeout(done, pause));
        pause = Math.min(pause * 1.7, 4000);
        continue;
      }
      pause = 250;
      this.trouble = "";
      this.waiting.shift();
      this.keep();
      if (outcome.refused) this.handlers.onRefused(entry, outcome.refused);
      else this.handlers.onSaved(entry, outcome.answer);
    }
    this.sending = false;
    this.handlers.onState(0, "");
  }

  async post(entry) {
    let answer;
    try {
      answer = await fetch(entry.path, {
        method: "POST",
        credentials: "same-origin",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(entry.body),
      });
    } catch {
      return { again: "the server does not answer" };
    }
    if (answer.status === 401) return { again: "the server was restarted: open the link that it printed" };
    if (answer.status >= 500) return { again: "the server cannot save now" };
    const document = await answer.json().catch(() => null);
    if (document === null) return answer.ok ? { again: "the answer was incomplete" } : { refused: `refused (${answer.status})` };
    return answer.ok ? { answer: document } : { refused: document.error };
  }
}
