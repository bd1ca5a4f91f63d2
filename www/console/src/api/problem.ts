/** A problem document (RFC 9457) as the signer gives it, or what stands for one when no answer came. */
export interface ProblemDocument {
  type?: string;
  title: string;
  status: number;
  detail?: string;
  code: string;
  /** The member of the request that is not as it must be. */
  field?: string;
  request_id?: string;
}

export class ApiProblem extends Error {
  readonly problem: ProblemDocument;
  /** Seconds after which it may be tried again, where the signer said so. */
  readonly retryAfter: number | undefined;

  constructor(problem: ProblemDocument, retryAfter?: number) {
    super(problem.detail ?? problem.title);
    this.name = "ApiProblem";
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  get code(): string {
    return this.problem.code;
  }
}

/** What comes over the network. Where it fails, no answer came: a TypeError of anything else is the page's own fault. */
export async function received<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof SyntaxError) throw error;
    throw new ApiProblem({ title: "", status: 0, code: "signer_unreachable", detail: error instanceof Error ? error.message : String(error) });
  }
}

/** The problem in an answer that is none of the good ones. */
export async function problemOf(response: Response): Promise<ApiProblem> {
  const text = await response.text().catch(() => "");
  const after = Number(response.headers.get("retry-after"));
  const retryAfter = Number.isFinite(after) && after > 0 ? after : undefined;
  try {
    const document = JSON.parse(text) as Partial<ProblemDocument>;
    if (typeof document.code === "string" && typeof document.title === "string") {
      return new ApiProblem({ ...document, status: response.status } as ProblemDocument, retryAfter);
    }
  } catch {
    // Not a problem document: said as what it is, below.
  }
  return new ApiProblem({ title: `HTTP ${response.status}`, status: response.status, code: "unexpected_answer", detail: text.slice(0, 300) }, retryAfter);
}

/** What is shown of anything that was thrown. */
export function asProblem(error: unknown): ProblemDocument {
  if (error instanceof ApiProblem) return error.problem;
  if (error instanceof DOMException) return { title: error.name, status: 0, code: error.name === "NotAllowedError" ? "passkey_not_given" : "browser_refused", detail: error.message };
  return { title: "", status: 0, code: "page_error", detail: error instanceof Error ? error.message : String(error) };
}
