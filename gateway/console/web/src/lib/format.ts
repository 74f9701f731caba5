/** Numbers and times as people of a language write them. */

export interface Formats {
  count(value: number): string;
  rate(value: number): string;
  ms(value: number): string;
  bytes(value: number): string;
  percent(value: number): string;
  span(seconds: number): string;
  time(ms: number): string;
  /** To the millisecond, with the day where it is not today. */
  moment(ms: number): string;
}

const made = new Map<string, Formats>();

export function formatsOf(language: string): Formats {
  const known = made.get(language);
  if (known) return known;
  const number = (digits: number) => {
    const format = new Intl.NumberFormat(language, { maximumFractionDigits: digits });
    return (value: number) => format.format(value);
  };
  const [whole, tenths, hundredths] = [number(0), number(1), number(2)];
  const compact = new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });
  const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const;
  const time = new Intl.DateTimeFormat(language, clock);
  const exact = new Intl.DateTimeFormat(language, { ...clock, fractionalSecondDigits: 3 });
  const day = new Intl.DateTimeFormat(language, { day: "2-digit", month: "2-digit" });
  const few = (value: number) => (value < 1 ? hundredths(value) : value < 100 ? tenths(value) : whole(value));
  const formats: Formats = {
    count: (value) => (value >= 100_000 ? compact.format(value) : whole(value)),
    rate: (value) => (value >= 100_000 ? compact.format(value) : value < 100 ? tenths(value) : whole(value)),
    ms: (value) => (value >= 1000 ? `${tenths(value / 1000)} s` : `${few(value)} ms`),
    bytes: (value) => {
      const step = value < 1024 ? 0 : value < 1024 ** 2 ? 1 : value < 1024 ** 3 ? 2 : 3;
      return `${(step ? tenths : whole)(value / 1024 ** step)} ${["B", "KiB", "MiB", "GiB"][step]}`;
    },
    percent: (value) => percent.format(value),
    span: (seconds) => {
      if (seconds < 60) return `${whole(seconds)} s`;
      if (seconds < 3600) return `${whole(seconds / 60)} min`;
      if (seconds < 172_800) return `${tenths(seconds / 3600)} h`;
      return `${tenths(seconds / 86_400)} d`;
    },
    time: (ms) => time.format(ms),
    moment: (ms) => {
      const isToday = new Date(ms).toDateString() === new Date().toDateString();
      return isToday ? exact.format(ms) : `${day.format(ms)} ${exact.format(ms)}`;
    },
  };
  made.set(language, formats);
  return formats;
}
