// A Worker that reads the same request and verifies nothing.
export default {
  async fetch(request) {
    const { issuer } = await request.json();
    return Response.json({ sub: "nobody", issuer });
  },
};
