// Acts as the chosen person through the ordinary API, and draws the page's parts anew when something has happened.
"use strict";

const who = document.getElementById("who");
const oops = document.getElementById("oops");
const tokens = {};

const chosen = localStorage.getItem("who");
if ([...who.options].some((option) => option.value === chosen)) who.value = chosen;
who.addEventListener("change", () => localStorage.setItem("who", who.value));

function say(text) {
  oops.textContent = text;
  oops.hidden = !text;
  if (text) setTimeout(() => (oops.hidden = true), 6000);
}

async function token(login) {
  if (!tokens[login]) {
    const answer = await fetch("/_sandbox/token", {
      method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify({login}),
    });
    tokens[login] = (await answer.json()).token;
  }
  return tokens[login];
}

async function act(method, path, body) {
  const headers = {"content-type": "application/json", authorization: `Bearer ${await token(who.value)}`};
  const answer = await fetch(path, {method, headers, body: body === undefined ? undefined : JSON.stringify(body)});
  const text = await answer.text();
  const data = text ? JSON.parse(text) : {};
  if (!answer.ok) {
    if (answer.status === 401) delete tokens[who.value];
    const why = (data.errors || []).map((error) => error.message || error.field || "").filter(Boolean).join("; ");
    say(`${who.value}: ${data.message}${why ? ` (${why})` : ""}`);
    return null;
  }
  say("");
  return data;
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const {post, put, json, list, go} = form.dataset;
  if (!post && !put) return;
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(form));
  const body = json ? JSON.parse(json) : list ? {[list]: [fields[list]]} : fields;
  const button = form.querySelector("button.primary") || form.querySelector("button");
  button.disabled = true;
  const done = await act(post ? "POST" : "PUT", post || put, body);
  button.disabled = false;
  if (!done) return;
  form.reset();
  if (go) location.href = done[go];
  await refresh();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const {text, delete: path, postNow, press, check, repo} = button.dataset;
  if (text) {
    const box = button.closest("form").querySelector("textarea");
    box.value = text + " ";
    box.focus();
  } else if (path) {
    await act("DELETE", path);
  } else if (postNow) {
    button.disabled = true;
    await act("POST", postNow, {times: 1});
  } else if (press) {
    button.disabled = true;
    await act("POST", "/_sandbox/press", {repo, login: who.value, check: Number(check), identifier: press});
    button.disabled = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form) event.target.form.requestSubmit();
});

function atEnd(element) {
  return element.scrollHeight - element.scrollTop - element.clientHeight < 40;
}

async function refresh() {
  const answer = await fetch(location.href, {cache: "no-store"});
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!next || next.innerHTML === part.dataset.was) continue;
    const was = next.innerHTML;
    if (part.innerHTML !== next.innerHTML) {
      const follow = "follow" in part.dataset && atEnd(part);
      const closed = [...part.querySelectorAll("details[id]:not([open])")].map((one) => one.id);
      const opened = [...part.querySelectorAll("article details")].map((one) => one.open);
      const known = new Set([...part.querySelectorAll("article[id]")].map((one) => one.id));
      part.innerHTML = was;
      for (const id of closed) document.getElementById(id)?.removeAttribute("open");
      part.querySelectorAll("article details").forEach((one, at) => { if (opened[at]) one.open = true; });
      for (const one of part.querySelectorAll("article[id]")) if (!known.has(one.id)) one.classList.add("new");
      if (follow) part.scrollTop = part.scrollHeight;
    }
    part.dataset.was = was;
  }
}

async function follow() {
  let since = Number(document.body.dataset.changes);
  for (;;) {
    try {
      const answer = await fetch(`/_sandbox/changes?since=${since}&wait=20`);
      const {changes} = await answer.json();
      if (changes !== since) {
        since = changes;
        await refresh();
        await new Promise((go) => setTimeout(go, 250));
      }
    } catch {
      await new Promise((go) => setTimeout(go, 2000));
    }
  }
}

for (const part of document.querySelectorAll("[data-follow]")) part.scrollTop = part.scrollHeight;
follow();
setInterval(refresh, 30000);
