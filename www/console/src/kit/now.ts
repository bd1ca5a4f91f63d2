import { useEffect, useState } from "react";

/** The time, renewed every so many seconds. */
export function useNow(every: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every * 1_000);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
