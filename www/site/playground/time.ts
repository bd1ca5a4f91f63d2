const UNITS: readonly [name: string, seconds: number][] = [
  ["year", 31_557_600], ["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1],
];

/** `in 59 minutes`, `2 hours ago`, `now`: from the second that `calendar` shows. */
export function relative(instant: number, now: number): string {
  const difference = instant - Math.floor(now);
  const distance = Math.round(Math.abs(difference));
  for (const [name, length] of UNITS) {
    const count = Math.floor(distance / length);
    if (count >= 1) {
      const amount = `${count} ${name}${count === 1 ? "" : "s"}`;
      return difference > 0 ? `in ${amount}` : `${amount} ago`;
    }
  }
  return "now";
}

/** `2026-11-22 10:00:00 UTC`, or nothing for what no calendar holds. */
export function calendar(instant: number): string {
  if (!(instant >= 0 && instant <= 253_402_300_799)) return "";
  return `${new Date(instant * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
