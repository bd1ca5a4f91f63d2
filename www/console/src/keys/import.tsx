import type { Profile } from "../api/types";
export function ImportKey(_: { open: boolean; onClose: () => void; profiles: Profile[] }) {
  return null;
}
