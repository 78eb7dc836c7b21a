// Keeps what is marked `data-live` up to date, and loads what is marked `data-load`.
// Every page works without this file; it only saves the reader from loading the page again.
"use strict";

const HEADERS = { "X-Console-Poll": "1" };
const LONGEST_WAIT_S = 60;

async function fetched(address) {
  const response = await fetch(address, { headers: HEADERS, credentials: "same-origin" });
  if (response.status === 401) {
    location.reload();
    throw new Error("signed out");
  }
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

function isMarked(place) {
  const marked = document.getSelection();
  return !marked.isCollapsed && marked.containsNode(place, true);
}

// The links and buttons of a place that are the same as one, which may be among them.
function alike(place, one) {
  const name = (it) => it.id || it.getAttribute("href");
  return [...place.querySelectorAll("a[href], button")].filter((it) => name(it) === name(one));
}

// Returns whether all of it was replaced: a text that the reader marks stays until it is copied.
function replaceLive(fresh) {
  let whole = true;
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (!now || now.innerHTML === old.innerHTML) continue;
    if (isMarked(old)) {
      whole = false;
      continue;
    }
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const at = focused ? alike(old, focused).indexOf(focused) : -1;
    old.replaceChildren(...document.importNode(now, true).childNodes);
    if (at >= 0) alike(old, focused)[at]?.focus({ preventScroll: true });
  }
  return whole;
}

function poll(seconds) {
  const note = document.getElementById("live-note");
  let wait = seconds;
  async function look() {
    if (!document.hidden) {
      try {
        const fresh = await fetched(location.href);
        if (!fresh.querySelector("[data-poll]")) throw new Error("another page");
        const whole = replaceLive(fresh);
        wait = seconds;
        note.textContent = whole ? "" : "Not renewed while a text is marked.";
      } catch {
        wait = Math.min(2 * wait, LONGEST_WAIT_S);
        note.textContent = "No answer from the service; this page may be old.";
      }
    }
    setTimeout(look, 1000 * wait);
  }
  setTimeout(look, 1000 * wait);
}

async function load(place) {
  try {
    const fresh = await fetched(place.dataset.load);
    place.replaceChildren(...document.importNode(fresh.getElementById("content"), true).childNodes);
  } catch {
    place.textContent = "No answer from the service. Load the page again.";
  }
  place.removeAttribute("aria-busy");
}

const polled = document.querySelector("[data-poll]");
if (polled) poll(Number(polled.dataset.poll));
document.querySelectorAll("[data-load]").forEach(load);
