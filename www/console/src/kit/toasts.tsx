// Results that nobody has to answer. Refusals stay where they happened; these are for what went well elsewhere.
import { Toast } from "@base-ui/react/toast";
import { CircleAlert, CircleCheck, X } from "lucide-react";
import type { ReactNode } from "react";
import { useWords } from "../i18n";

export function ToastProvider({ children }: { children: ReactNode }) {
  return (
    <Toast.Provider timeout={6_000} limit={3}>
      {children}
      <Toast.Portal>
        <Toast.Viewport className="toasts">
          <Toasts />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

/** Tells of a result. */
export function useTell(): (title: string, description?: string, type?: "good" | "bad") => void {
  const { add } = Toast.useToastManager();
  return (title, description, type = "good") => void add({ title, description, type, priority: type === "bad" ? "high" : "low" });
}

function Toasts() {
  const { toasts } = Toast.useToastManager();
  const { t } = useWords();
  return toasts.map((toast) => (
    <Toast.Root key={toast.id} toast={toast} className="toast">
      {toast.type === "bad" ? <CircleAlert aria-hidden /> : <CircleCheck aria-hidden />}
      <div>
        <Toast.Title />
        <Toast.Description />
      </div>
      <Toast.Close className="button quiet little icon-only" aria-label={t("common.close")}>
        <X aria-hidden />
      </Toast.Close>
    </Toast.Root>
  ));
}
