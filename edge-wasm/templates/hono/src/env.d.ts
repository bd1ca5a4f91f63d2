// What wrangler.toml sets; `npx wrangler types` writes the same for all of your bindings.
declare module "cloudflare:workers" {
  export const env: {
    ISSUER: string;
    AUDIENCE: string;
    ALGORITHMS: string;
  };
}
