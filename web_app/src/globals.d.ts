/** Folder of LiteRT's files beside the page; runtime_files.ts puts it in. */
declare const LITERT_FOLDER: string;
/** Bytes of each WebAssembly file, unpacked. */
declare const LITERT_BYTES: Readonly<Record<string, number>>;
