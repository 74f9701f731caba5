/** The same keys as the English texts, all of them and no others. */
export type Words<English> = { [Key in keyof English]: English[Key] extends string ? string : Words<English[Key]> };
