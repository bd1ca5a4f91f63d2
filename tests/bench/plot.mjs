// One picture a case: a panel a host, a group of bars an algorithm, a whisker from the smallest to the largest round.
import { summary } from "./measure.mjs";
import { unique } from "./report.mjs";

const COLOURS = { edgeseal: "#0b6e4f", jose: "#d1495b", "aws-jwt-verify": "#edae49", jsonwebtoken: "#66a182", hono: "#e76f51", webcrypto: "#8d99ae", "aws-lc-rs": "#5c677d" };
const TITLES = {
  distinct: "Distinct tokens: microseconds each, less is better",
  repeated: "One token again and again: microseconds each, less is better",
  wrong: "Wrong signatures: microseconds each, less is better",
  gateway: "The gateway: microseconds added to a request, less is better",
  concurrent: "100 at a time: thousand verifications a second, more is better",
};
/** The others are in the tables; ES512 alone would make all other bars short. */
const PLOTTED = ["ES256", "RS256", "PS256", "EdDSA"];
const PANEL = { width: 440, height: 250, left: 48, top: 34, bottom: 26, gap: 16 };
const FONT = 'font-family="system-ui, sans-serif"';

export function plot(measured, kase) {
  const of = measured.filter((row) => row.kase === kase);
  const usual = of.filter((row) => PLOTTED.includes(row.alg));
  const rows = usual.length > 0 ? usual : of;
  const hosts = unique(rows.map((row) => row.host));
  const names = unique(rows.flatMap(({ us }) => Object.keys(us)));
  const columns = Math.min(2, hosts.length);
  const width = columns * (PANEL.width + PANEL.gap) + PANEL.gap;
  const height = 78 + Math.ceil(hosts.length / columns) * (PANEL.height + PANEL.gap);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${TITLES[kase]}">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${PANEL.gap}" y="28" ${FONT} font-size="16" font-weight="600" fill="#1b1f24">${TITLES[kase]}</text>`,
  ];
  let x = PANEL.gap;
  for (const name of names) {
    parts.push(`<rect x="${x}" y="42" width="11" height="11" fill="${COLOURS[name] ?? "#444444"}"/>`);
    parts.push(`<text x="${x + 16}" y="52" ${FONT} font-size="12" fill="#1b1f24">${name}</text>`);
    x += 34 + 7 * name.length;
  }
  for (const [index, host] of hosts.entries()) {
    const at = { x: PANEL.gap + (index % columns) * (PANEL.width + PANEL.gap), y: 68 + Math.floor(index / columns) * (PANEL.height + PANEL.gap) };
    parts.push(...panel(host, rows.filter((row) => row.host === host), names, kase, at));
  }
  return `${parts.join("\n")}\n</svg>\n`;
}

function panel(host, rows, names, kase, at) {
  const bars = rows.map(({ alg, us }) => ({
    alg,
    bars: names.filter((name) => us[name]).map((name) => ({ name, ...summary(kase === "concurrent" ? us[name].map((value) => 1e3 / value) : us[name]) })),
  }));
  const { step, top } = scale(Math.max(...bars.flatMap((group) => group.bars.map(({ median }) => median))));
  const inner = { x: at.x + PANEL.left, y: at.y + PANEL.top, width: PANEL.width - PANEL.left, height: PANEL.height - PANEL.top - PANEL.bottom };
  const y = (value) => inner.y + inner.height - (Math.min(value, top) / top) * inner.height;
  const parts = [`<text x="${at.x}" y="${at.y + 20}" ${FONT} font-size="13" font-weight="600" fill="#1b1f24">${host}</text>`];
  for (let value = 0; value <= top + step / 2; value += step) {
    parts.push(`<line x1="${inner.x}" y1="${y(value).toFixed(1)}" x2="${inner.x + inner.width}" y2="${y(value).toFixed(1)}" stroke="#e3e6ea"/>`);
    parts.push(`<text x="${inner.x - 6}" y="${(y(value) + 4).toFixed(1)}" ${FONT} font-size="10" fill="#57606a" text-anchor="end">${Number(value.toPrecision(6))}</text>`);
  }
  const room = inner.width / bars.length;
  for (const [index, group] of bars.entries()) {
    const wide = Math.min(16, (room - 8) / Math.max(group.bars.length, 1));
    let x = inner.x + index * room + (room - wide * group.bars.length) / 2;
    for (const { name, median, min, max } of group.bars) {
      const middle = (x + wide / 2).toFixed(1);
      parts.push(`<rect x="${x.toFixed(1)}" y="${y(median).toFixed(1)}" width="${(wide - 1.5).toFixed(1)}" height="${(inner.y + inner.height - y(median)).toFixed(1)}" fill="${COLOURS[name] ?? "#444444"}"><title>${name} ${group.alg}: ${median.toFixed(1)} (${min.toFixed(1)} to ${max.toFixed(1)})</title></rect>`);
      parts.push(`<line x1="${middle}" y1="${y(min).toFixed(1)}" x2="${middle}" y2="${y(max).toFixed(1)}" stroke="#1b1f24" stroke-width="0.8"/>`);
      x += wide;
    }
    parts.push(`<text x="${(inner.x + (index + 0.5) * room).toFixed(1)}" y="${inner.y + inner.height + 16}" ${FONT} font-size="11" fill="#1b1f24" text-anchor="middle">${group.alg}</text>`);
  }
  return parts;
}

/** A round step, with about five of them up to the top. */
function scale(largest) {
  const rough = (largest * 1.08) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  return { step, top: step * Math.ceil((largest * 1.02) / step) };
}
