fn main() {
    countersign_cli::main()
}
