import { h } from "vue";
import Theme from "vitepress/theme-without-fonts";
import Flow from "./Flow.vue";
import "./style.css";

export default {
  extends: Theme,
  Layout: () => h(Theme.Layout, null, { "home-hero-image": () => h(Flow) }),
};
