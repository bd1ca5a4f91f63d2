// The cases in workerd: one line of JSON for each in the answer. The issuers are at the request's `origin` parameter.
// Some imports happen before the first request, when no key may be generated: so the cases are imported within one.
let cases;

export default {
  async fetch(request) {
    cases ??= await import("./cases.mjs");
    const lines = [];
    await cases.runAll(new URL(request.url).searchParams.get("origin"), (result) => lines.push(JSON.stringify(result)));
    return new Response(lines.join("\n"));
  },
};
