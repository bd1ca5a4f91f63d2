// What stands in the place of a page that could not be loaded or went wrong, so that the rest of the console stays.
import { RotateCw } from "lucide-react";
import { Component, type ReactNode } from "react";
import { ApiProblem, asProblem } from "./api/problem";
import { useWords } from "./i18n";
import { Button, PageHead, Refusal } from "./kit";

/** For the import of a page: the signer does not answer, or was updated and has other files now. Only a new document asks again. */
export function notLoaded(error: unknown): never {
  throw new ApiProblem({ title: "", status: 0, code: "page_not_loaded", detail: asProblem(error).detail ?? "" });
}

interface Props {
  children: ReactNode;
  /** What stands around the message. */
  around?: (message: ReactNode) => ReactNode;
}

export class Boundary extends Component<Props, { failed?: { error: unknown } }> {
  override state: { failed?: { error: unknown } } = {};

  static getDerivedStateFromError(error: unknown) {
    return { failed: { error } };
  }

  override render() {
    const { children, around = (message) => message } = this.props;
    const { failed } = this.state;
    return failed ? around(<Failed error={failed.error} />) : children;
  }
}

function Failed({ error }: { error: unknown }) {
  const { t } = useWords();
  // Whatever else a page throws is its own fault, not the network's.
  const problem = error instanceof ApiProblem ? error : new ApiProblem({ title: "", status: 0, code: "page_error", detail: String(error) });
  return (
    <div className="page" data-testid="page-failed">
      <PageHead title={t("failed.title")}>
        <Button kind="primary" icon={RotateCw} onClick={() => location.reload()} data-testid="reload">
          {t("failed.reload")}
        </Button>
      </PageHead>
      <Refusal error={problem} />
    </div>
  );
}
