/** The customer of "Try it": in the demo's organization nobody else has this id. */
export const CUSTOMER = "00000000-0000-4000-8000-0000000000d4";
