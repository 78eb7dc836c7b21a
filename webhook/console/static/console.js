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

function replaceLive(fresh) {
  const focused = document.activeElement && document.activeElement.id;
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (now && now.innerHTML !== old.innerHTML) {
      old.replaceChildren(...document.importNode(now, true).childNodes);
    }
  }
  if (focused && document.activeElement.id !== focused) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
}

function poll(seconds) {
  const note = document.getElementById("live-note");
  let wait = seconds;
  async function look() {
    if (!document.hidden) {
      try {
        const fresh = await fetched(location.href);
        if (!fresh.querySelector("[data-poll]")) throw new Error("another page");
        replaceLive(fresh);
        wait = seconds;
        note.textContent = "";
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
