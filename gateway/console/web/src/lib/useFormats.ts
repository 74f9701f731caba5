import { useTranslation } from "react-i18next";

import { type Formats, formatsOf } from "./format";

/** Numbers and times in the language of the page. */
export function useFormats(): Formats {
  return formatsOf(useTranslation().i18n.language);
}
