import { env } from "cloudflare:workers";
import type { Algorithm } from "edgeseal";
import { type EdgesealVariables, edgeseal } from "edgeseal/hono";
import { Hono } from "hono";

const app = new Hono<{ Variables: EdgesealVariables }>();

app.use(
  "/api/*",
  edgeseal({
    issuer: env.ISSUER,
    audience: env.AUDIENCE,
    algorithms: env.ALGORITHMS.split(" ") as Algorithm[],
    onRefusal: (error) => console.warn(error.message), // the whole reason is for the log, the client gets the code
  }),
);
app.get("/health", (c) => c.text("ok"));
app.get("/api/me", (c) => c.json({ hello: c.get("claims").sub }));

export default app;
