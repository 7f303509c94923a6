// A page that shows what is live asks for itself again, and takes over what has changed. Without this script
// it stays as it is. It says little, rests while nobody looks, and ends when there is nothing more to come.
"use strict";
(() => {
  const MOST = 60000, PATIENCE = 20000, SAID_EVERY = 20000;  // ms
  const UPDATES = "This page updates by itself.";
  let failures = 0, timer = 0, asking = false, over = false, due = 0, saidAt = -SAID_EVERY, said = "";

  const live = () => document.getElementById("live");
  const show = (...parts) => document.getElementById("live-state")?.replaceChildren(...parts);
  const tell = (words) => {
    const place = document.getElementById("live-said");
    if (place) place.textContent = words;
  };

  function link(to, words) {
    const made = document.createElement("a");
    made.href = to;
    made.textContent = words;
    return made;
  }

  function end(...parts) {
    over = true;
    show(...parts);
    tell(parts.map((part) => part.textContent ?? part).join(""));
  }

  function later(ms) {
    clearTimeout(timer);
    due = performance.now() + ms;
    if (!over && !document.hidden) timer = setTimeout(look, ms);
  }

  function every() {
    return 1000 * Number(live()?.dataset.every || 5);
  }

  function failed(after) {
    failures += 1;
    const spread = 0.75 + Math.random() / 2;  // that not all browsers come back at once
    const wait = Math.min(MOST, Math.max(every() * 2 ** failures * spread, 1000 * after));
    show(`The service does not answer; asked again in ${Math.round(wait / 1000)} s.`);
    if (failures === 2) tell("The service does not answer. This page asks again.");
    later(wait);
  }

  // Only what differs: so focus, selection, scrolling and what is unfolded stay as they are.
  function same(from, to) {
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) return from.replaceWith(to);
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    if (from.id === "live-state" || from.id === "live-said") return;
    if (from.id === "filters") return;  // what somebody is about to ask for
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
    }
    for (const { name, value } of [...to.attributes]) {
      if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    const [old, young] = [[...from.childNodes], [...to.childNodes]];
    young.forEach((child, at) => (at < old.length ? same(old[at], child) : from.append(child)));
    old.slice(young.length).forEach((child) => child.remove());
  }

  function take(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const before = live().dataset;
    const [was, phase] = [before.said, before.phase];
    const fresh = page.getElementById("main");
    if (!fresh) return failed(0);
    const now = page.getElementById("live")?.dataset ?? page.getElementById("was-live")?.dataset;
    document.title = page.title;
    same(document.getElementById("main"), fresh);
    failures = 0;
    if (now && (now.phase !== phase || (now.said !== was && performance.now() - saidAt > SAID_EVERY))) {
      if (now.said !== said) tell(now.said);
      [said, saidAt] = [now.said, performance.now()];
    }
    if (!live()) return end();
    show(UPDATES);
    later(every());
  }

  async function look() {
    clearTimeout(timer);
    if (over || asking || document.hidden) return;
    asking = true;
    const patience = new AbortController();
    const late = setTimeout(() => patience.abort(), PATIENCE);
    try {
      const answer = await fetch(location.href, {
        headers: { "If-None-Match": `W/"${live().dataset.live}"`, Accept: "text/html" },
        cache: "no-store", redirect: "error", signal: patience.signal,
      });
      if (answer.status === 304) {
        failures = 0;
        show(UPDATES);
        later(every());
      } else if (answer.ok) {
        take(await answer.text());
      } else if (answer.status === 401) {
        const back = encodeURIComponent(location.pathname + location.search);
        end("You are not signed in any more. ", link(`/sign-in?next=${back}`, "Sign in again"), ".");
      } else if (answer.status === 429 || answer.status >= 500) {
        failed(Number(answer.headers.get("Retry-After")) || 0);
      } else {
        end("You may not see this any more, or it is gone. ", link(location.href, "Load it anew"), " to see why.");
      }
    } catch {
      failed(0);
    } finally {
      clearTimeout(late);
      asking = false;
    }
  }

  if (!live()) return;
  show(UPDATES);
  later(every());
  // Who comes back waits no longer than if they had stayed, and no shorter: a service in need is left alone.
  document.addEventListener("visibilitychange", () => later(Math.max(0, due - performance.now())));
})();
