/** A line that says only how it went; the number beside it says how much. */
export function Spark({ points }: { points: number[] }) {
  if (points.length < 2) return null;
  const { line, area } = pathsOf(points, 100, 30);
  return (
    <svg className="spark" viewBox="0 0 100 34" preserveAspectRatio="none" aria-hidden>
      <path className="area" d={area} />
      <path className="line" d={line} />
    </svg>
  );
}

/** Paths over a box of this size, from the oldest point to the newest. */
export function pathsOf(points: number[], width: number, height: number, top = Math.max(...points, 1e-9)): { line: string; area: string } {
  const step = width / (points.length - 1);
  const line = points.map((point, index) => `${index ? "L" : "M"}${(index * step).toFixed(2)} ${(height + 2 - (point / top) * height).toFixed(2)}`).join("");
  return { line, area: `${line}L${width} ${height + 4}L0 ${height + 4}Z` };
}
