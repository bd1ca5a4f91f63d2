// A Worker that answers and verifies nothing.
export default {
  async fetch(request) {
    return Response.json({ ok: true, header: {}, claims: { path: new URL(request.url).pathname, has: request.headers.get("authorization") !== null } }, { headers: { "cache-control": "no-store" } });
  },
};
