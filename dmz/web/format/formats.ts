/**
 * Sizes, dates and durations as people of one locale read them. Built once per language, because making an Intl
 * formatter costs more than formatting a hundred rows with it.
 */
export interface Formats {
  /** Decimal units: 1.2 MB. */
  readonly size: (bytes: number) => string;
  /** Relative for a week (today 09:31, Mon 14:02) and for tomorrow, else the date. */
  readonly modified: (mtimeMs: number, nowMs: number) => string;
  /** Everything, for tooltips. */
  readonly fullDate: (timeMs: number) => string;
  /** The day alone. */
  readonly day: (timeMs: number) => string;
  /** 0…1 → 62 %. */
  readonly percent: (fraction: number) => string;
  readonly number: (value: number) => string;
  /** Rounded to what a waiting person wants to know: 45 s, 2 min, 1 h 5 min. */
  readonly duration: (seconds: number) => string;
  /** As `duration`; from two days on in days: 7 days. */
  readonly span: (seconds: number) => string;
}

const units = ['kB', 'MB', 'GB', 'TB', 'PB'] as const;
const daySeconds = 86_400;
const dayMs = daySeconds * 1000;

function buildSize(locale: string): Formats['size'] {
  const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
  const tenths = new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  return (bytes) => {
    if (bytes < 1000) return `${whole.format(bytes)} B`;
    let value = bytes;
    let unit = -1;
    // 999.5 would be printed as 1000: it belongs to the next unit.
    while (value >= 999.5 && unit < units.length - 1) {
      value /= 1000;
      unit += 1;
    }
    return `${(value < 99.95 ? tenths : whole).format(value)} ${units[unit] ?? 'PB'}`;
  };
}

/** Midnight of that day in the time zone, as a day number that can be subtracted. */
function buildDayNumber(timeZone: string | undefined): (timeMs: number) => number {
  const parts = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' });
  return (timeMs) => Math.floor(Date.parse(`${parts.format(timeMs)}T00:00:00Z`) / dayMs);
}

function buildModified(locale: string, timeZone: string | undefined): Formats['modified'] {
  const time = new Intl.DateTimeFormat(locale, { timeZone, hour: '2-digit', minute: '2-digit' });
  const weekday = new Intl.DateTimeFormat(locale, { timeZone, weekday: 'short' });
  const date = new Intl.DateTimeFormat(locale, {
    timeZone,
    day: 'numeric',
    month: 'short',
    year: 'numeric',
  });
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  const dayNumber = buildDayNumber(timeZone);
  return (mtimeMs, nowMs) => {
    if (!Number.isFinite(mtimeMs)) return '';
    const daysAgo = dayNumber(nowMs) - dayNumber(mtimeMs);
    if (Math.abs(daysAgo) <= 1) return `${relative.format(-daysAgo, 'day')} ${time.format(mtimeMs)}`;
    if (daysAgo > 1 && daysAgo < 7) return `${weekday.format(mtimeMs)} ${time.format(mtimeMs)}`;
    return date.format(mtimeMs);
  };
}

function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
}

/** `timeZone` absent: the reader's own. */
export function buildFormats(locale: string, timeZone?: string): Formats {
  const full = new Intl.DateTimeFormat(locale, { timeZone, dateStyle: 'full', timeStyle: 'short' });
  const day = new Intl.DateTimeFormat(locale, { timeZone, dateStyle: 'long' });
  const percent = new Intl.NumberFormat(locale, { style: 'percent' });
  const number = new Intl.NumberFormat(locale);
  const days = new Intl.NumberFormat(locale, {
    style: 'unit',
    unit: 'day',
    unitDisplay: 'long',
    maximumFractionDigits: 0,
  });
  return {
    size: buildSize(locale),
    modified: buildModified(locale, timeZone),
    fullDate: (timeMs) => (Number.isFinite(timeMs) ? full.format(timeMs) : ''),
    day: (timeMs) => day.format(timeMs),
    percent: (fraction) => percent.format(fraction),
    number: (value) => number.format(value),
    duration: formatDuration,
    span: (seconds) =>
      seconds < 2 * daySeconds ? formatDuration(seconds) : days.format(seconds / daySeconds),
  };
}
