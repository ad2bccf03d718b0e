/** Folder of LiteRT's files beside the page; runtime_files.ts puts it in. */
declare const LITERT_FOLDER: string;
