// Inside workerd: one act for each request. The clock stands still inside a request, so that the time is taken outside.
import { Runner } from "./runner.mjs";

const runner = new Runner();

export default {
  async fetch(request) {
    try {
      const argument = await request.json();
      switch (new URL(request.url).pathname) {
        case "/load":
          runner.load(argument);
          return Response.json(null);
        case "/names":
          return Response.json(await runner.names(argument));
        case "/stats":
          return Response.json(await runner.stats(argument));
        default:
          await runner.run(argument);
          return Response.json(null);
      }
    } catch (error) {
      return new Response(String(error?.stack ?? error), { status: 500 });
    }
  },
};
