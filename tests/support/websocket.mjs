// WebSockets (RFC 6455) in a few lines: an origin that answers each text message, and a client that sends headers of its own.

import { createHash, randomBytes } from "node:crypto";
import { request as http } from "node:http";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const accept = (key) => createHash("sha1").update(key + GUID).digest("base64");

/** Takes an upgrade; `answer(message, send)` for each text message. */
export function acceptWebSocket(request, socket, answer) {
  socket.write(["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept(request.headers["sec-websocket-key"])}`, "", ""].join("\r\n"));
  socket.on("error", () => {});
  socket.on("data", frames((message) => answer(message, (text) => socket.write(frame(text, false))), () => socket.end(frame("", false, 8))));
}

/** Opens one: `ask` sends a text message and waits for the next one. */
export function openWebSocket(url, headers = {}) {
  return new Promise((resolve, reject) => {
    const key = randomBytes(16).toString("base64");
    const request = http(url.replace(/^ws/, "http"), { family: 4, headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": key, "sec-websocket-version": "13", ...headers }, signal: AbortSignal.timeout(20_000) });
    request.on("error", reject);
    request.on("response", (response) => { response.resume(); reject(new Error(`answered ${response.statusCode}`)); });
    request.on("upgrade", (response, socket, head) => {
      if (response.headers["sec-websocket-accept"] !== accept(key)) return reject(new Error("another key was accepted"));
      const messages = [];
      let waiting = null;
      const read = frames((message) => { if (waiting) { waiting(message); waiting = null; } else messages.push(message); }, () => socket.end());
      socket.on("error", () => {});
      socket.on("data", read);
      if (head.length > 0) read(head);
      resolve({
        ask: (text) => {
          socket.write(frame(text, true));
          return messages.length > 0 ? Promise.resolve(messages.shift()) : new Promise((done) => { waiting = done; });
        },
        close: () => { socket.write(frame("", true, 8)); socket.end(); },
      });
    });
    request.end();
  });
}

function frame(text, masked, opcode = 1) {
  const payload = Buffer.from(text);
  const { length } = payload;
  const head = length < 126 ? Buffer.from([0x80 | opcode, length]) : length < 65_536 ? Buffer.from([0x80 | opcode, 126, length >> 8, length & 255]) : Buffer.alloc(10);
  if (length >= 65_536) {
    head.writeUInt8(0x80 | opcode, 0);
    head.writeUInt8(127, 1);
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  if (!masked) return Buffer.concat([head, payload]);
  head[1] |= 0x80;
  const mask = randomBytes(4);
  return Buffer.concat([head, mask, payload.map((byte, index) => byte ^ mask[index & 3])]);
}

/** Reads frames as they come, fragments of a message together. */
function frames(onText, onClose) {
  let rest = Buffer.alloc(0);
  let parts = [];
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      if (rest.length < 2) return;
      const masked = (rest[1] & 0x80) !== 0;
      let length = rest[1] & 0x7f;
      let at = 2;
      if (length === 126) { if (rest.length < 4) return; length = rest.readUInt16BE(2); at = 4; }
      else if (length === 127) { if (rest.length < 10) return; length = Number(rest.readBigUInt64BE(2)); at = 10; }
      const end = at + (masked ? 4 : 0) + length;
      if (rest.length < end) return;
      const mask = masked ? rest.subarray(at, at + 4) : null;
      let payload = rest.subarray(end - length, end);
      if (mask) payload = payload.map((byte, index) => byte ^ mask[index & 3]);
      const opcode = rest[0] & 0x0f;
      const isLast = (rest[0] & 0x80) !== 0;
      rest = rest.subarray(end);
      if (opcode === 8) return onClose();
      if (opcode > 2) continue;
      parts.push(payload);
      if (isLast) { onText(Buffer.concat(parts).toString("utf8")); parts = []; }
    }
  };
}
