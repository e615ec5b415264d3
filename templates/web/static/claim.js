/* The claim page. The link's token is behind the '#', which no browser sends: it is handed in when the
 * button is pressed, never on opening. The Idempotency-Key, made once a tab, lets a reveal whose answer
 * was lost be asked for again; it is forgotten when the secret is on the page. */
"use strict";

(function () {
  const TRIES = 4;
  const STORED = "keymeter-claim";
  const main = document.getElementById("claim");
  const secret = main.querySelector("[data-secret]");
  const copied = main.querySelector("[data-copied]");
  let key = "";
  let busy = false;

  function token() {
    const found = /^#(km_claim_[0-9A-Za-z]{49})$/.exec(location.hash);
    return found ? found[1] : "";
  }

  function show(state) {
    const known = main.querySelector('[data-state="' + state + '"]');
    const section = known || main.querySelector('[data-state="failed"]');
    for (const other of main.querySelectorAll("[data-state]")) other.hidden = other !== section;
    return section.querySelector("h1");
  }

  /* After something was done: a screen reader goes on there. */
  function turn(state) {
    show(state).focus();
  }

  function fill(name, text) {
    for (const place of main.querySelectorAll('[data-fill="' + name + '"]')) place.textContent = text;
  }

  function line(name, there) {
    main.querySelector('[data-line="' + name + '"]').hidden = !there;
  }

  /* 128 random bits; a browser that keeps nothing has it in memory alone. */
  function idempotencyKey() {
    try {
      key = key || sessionStorage.getItem(STORED) || "";
    } catch (error) { /* storage is switched off */ }
    if (!key) {
      key = Array.from(crypto.getRandomValues(new Uint8Array(16)),
                       (byte) => byte.toString(16).padStart(2, "0")).join("");
    }
    try {
      sessionStorage.setItem(STORED, key);
    } catch (error) { /* as above */ }
    return key;
  }

  function forgetKey() {
    key = "";
    try {
      sessionStorage.removeItem(STORED);
    } catch (error) { /* as above */ }
  }

  function pause(seconds) {
    return new Promise((done) => setTimeout(done, seconds * 1000));
  }

  async function ask(text) {
    const ended = new AbortController();
    const timer = setTimeout(() => ended.abort(), 15000);
    try {
      const answer = await fetch(main.dataset.reveal, {
        method: "POST",
        headers: {"Content-Type": "application/json", "Idempotency-Key": idempotencyKey()},
        body: JSON.stringify({token: text}),
        cache: "no-store",
        redirect: "error",
        signal: ended.signal,
      });
      return {status: answer.status, wait: Number(answer.headers.get("Retry-After")) || 0,
              body: await answer.json()};
    } catch (error) {
      return {status: 0, wait: 0, body: {}};
    } finally {
      clearTimeout(timer);
    }
  }

  /* No answer, the server cannot, or an earlier call of ours is still at work. */
  function mayPass(answer) {
    return answer.status === 0 || answer.status >= 502 || answer.body.code === "idempotency_in_flight";
  }

  function duration(seconds) {
    const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
    const unit = units.find((one) => seconds >= 2 * one[1]) || units[3];
    const count = Math.ceil(seconds / unit[1]);
    return count + " " + unit[0] + (count === 1 ? "" : "s");
  }

  function moment(text) {
    return new Date(text).toLocaleString(undefined, {
      year: "numeric", month: "long", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
    });
  }

  function guard(event) {
    event.preventDefault();
  }

  /* All of it is seen, also when the screen is turned. */
  function fitSecret() {
    for (secret.rows = 1; secret.scrollHeight > secret.clientHeight && secret.rows < 9;) secret.rows++;
  }

  function showSecret(answer) {
    secret.value = answer.secret;
    fill("title", answer.title);
    line("title", answer.title);
    fill("key_id", answer.key_id);
    fill("environment", answer.environment);
    fill("account", answer.customer.external_id);
    line("old", answer.old_secret);
    if (answer.old_secret) {
      fill("old_start", answer.old_secret.start + "...");
      fill("grace", duration(answer.old_secret.grace_seconds));
      fill("old_end", moment(answer.old_secret.expires_at));
    }
    forgetKey();
    addEventListener("beforeunload", guard); /* asks before it is lost; until it is copied */
    turn("shown");
    fitSecret();
    addEventListener("resize", fitSecret);
  }

  function showRefusal(answer) {
    const text = answer.body.detail || "";
    const when = /[0-9]{4}-[0-9-]{5}T[0-9:]{8}Z/.exec(text);
    line("used", when);
    fill("used_at", when ? moment(when[0]) : "");
    fill("wait", duration(answer.wait || 60));
    for (const place of main.querySelectorAll("[data-detail]")) place.textContent = text;
    turn(answer.body.code || "failed");
  }

  async function reveal() {
    if (busy) return;
    busy = true;
    const text = token();
    turn(text ? "working" : "claim_not_found");
    let answer = null;
    for (let tried = 0; text && tried < TRIES; tried++) {
      answer = await ask(text);
      if (!mayPass(answer) || tried === TRIES - 1) break;
      await pause(Math.min(Math.max(answer.wait, 2 ** tried / 2), 10));
    }
    busy = false;
    if (!answer) return;
    if (answer.status === 200) showSecret(answer.body);
    else showRefusal(answer);
  }

  function noteCopied() {
    removeEventListener("beforeunload", guard);
    copied.textContent = "Copied. Store it before you close this page.";
    copied.classList.add("good");
  }

  async function copy() {
    secret.select();
    try {
      await navigator.clipboard.writeText(secret.value);
      noteCopied();
    } catch (error) {
      /* Without TLS there is no clipboard API; this fires the event that notes it. */
      if (!document.execCommand("copy")) copied.textContent = "Press Ctrl+C or ⌘C to copy the marked key.";
    }
  }

  const actions = {reveal: reveal, copy: copy};
  for (const button of main.querySelectorAll("[data-do]")) {
    button.addEventListener("click", actions[button.dataset.do]);
  }
  secret.addEventListener("copy", noteCopied);
  secret.addEventListener("focus", () => secret.select());
  addEventListener("hashchange", () => location.reload()); /* another link in the same tab */
  addEventListener("pagehide", () => { secret.value = ""; });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  show(token() ? "start" : "claim_not_found");
})();
