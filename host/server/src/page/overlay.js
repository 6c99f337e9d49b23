// Captions of a broadcast. What is shown and how stands behind the # of the address, which a browser keeps to itself:
// name, key, size, font, color, background, align, lines, position, seconds, channel. docs/server.md explains them.

const options = new URLSearchParams(location.hash.slice(1));
const captions = document.getElementById("captions");
/** Utterances that are shown: position, or channel and position, to the texts of it. */
const shown = new Map();
/** Utterances that are kept: more than any screen has lines. */
const KEPT = 8;
/** Wait before another connection [ms]: it grows to the second. */
const WAIT = [500, 10_000];

let silence, wait = WAIT[0];

function style() {
  for (const [name, unit] of [["size", "px"], ["font", ""], ["color", ""], ["background", ""], ["align", ""], ["lines", ""]]) {
    const value = options.get(name);
    if (value) captions.style.setProperty(`--${name}`, value + unit);
  }
  captions.classList.toggle("top", options.get("position") === "top");
}

function piece(text, kind) {
  const span = document.createElement("span");
  span.textContent = text;
  if (kind) span.className = kind;
  return span;
}

function draw() {
  captions.replaceChildren(...[...shown.values()].filter(said => said.committed || said.tentative).map(said => {
    const line = document.createElement("p");
    if (said.committed) line.append(piece(said.committed));
    if (said.tentative) line.append(piece((said.committed ? " " : "") + said.tentative, "tentative"));
    return line;
  }));
  captions.classList.remove("silent");
  clearTimeout(silence);
  const seconds = Number(options.get("seconds") ?? 6);
  if (seconds > 0) silence = setTimeout(() => captions.classList.add("silent"), seconds * 1000);
}

function problem(text) {
  const line = document.createElement("p");
  line.append(piece(text, "problem"));
  captions.replaceChildren(line);
  captions.classList.remove("silent");
}

const join = words => words.map(word => word.word).join(" ");

function take(message) {
  if (message.channel !== undefined && options.has("channel") && String(message.channel) !== options.get("channel")) return;
  const place = `${message.channel ?? ""} ${message.utterance}`;
  switch (message.type) {
    case "on_air":
      shown.clear();
      draw();
      break;
    case "partial": {
      const said = shown.get(place) ?? { committed: "" };
      const committed = join(message.committed);
      if (committed) said.committed += (said.committed ? " " : "") + committed;
      said.tentative = join(message.tentative);
      shown.set(place, said);
      draw();
      break;
    }
    case "final":
      if (message.text) shown.set(place, { committed: message.text });
      else shown.delete(place);
      while (shown.size > KEPT) shown.delete(shown.keys().next().value);
      draw();
      break;
    case "error":
      problem(message.message);
      break;
  }
}

function watch() {
  const address = new URL(`/v1/watch/${encodeURIComponent(options.get("name"))}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const protocols = ["hearken"];
  if (options.get("key")) protocols.push(`hearken.key.${options.get("key")}`);
  const socket = new WebSocket(address, protocols);
  let open = false;
  socket.onopen = () => { open = true; wait = WAIT[0]; };
  socket.onmessage = event => take(JSON.parse(event.data));
  socket.onclose = () => {
    if (!open) problem("the server does not answer, or refuses the key");
    setTimeout(watch, wait);
    wait = Math.min(wait * 2, WAIT[1]);
  };
}

style();
if (options.get("name")) watch();
else problem("name the broadcast: /overlay#name=NAME");
