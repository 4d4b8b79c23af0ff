import "@fontsource-variable/inter/wght.css";
import "@/app/tokens.css";
import "@/app/base.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "react-router/dom";
import { startI18n } from "@/app/i18n";
import { Providers } from "@/app/providers";
import { router } from "@/app/router";
import { startSaving } from "@/features/preferences/saving";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");

startSaving();
await startI18n();
createRoot(root).render(
  <StrictMode>
    <Providers>
      <RouterProvider router={router} />
    </Providers>
  </StrictMode>,
);
