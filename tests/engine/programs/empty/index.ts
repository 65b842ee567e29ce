import { edition } from "../file";

export const number = edition;
