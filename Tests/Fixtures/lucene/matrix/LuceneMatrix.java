import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.LongPoint;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.LogDocMergePolicy;
import org.apache.lucene.index.MergePolicy;
import org.apache.lucene.index.NoMergePolicy;
import org.apache.lucene.index.SerialMergeScheduler;
import org.apache.lucene.index.Term;
import org.apache.lucene.search.Sort;
import org.apache.lucene.search.SortField;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.NIOFSDirectory;
import org.apache.lucene.util.Version;

/**
 * Writes one index for each variant and mode with the Lucene on the class path, and beside it a list of what that
 * Lucene reads back.
 *
 * Usage: java LuceneMatrix OUTPUT [VARIANT,VARIANT… | all [FOLDER OF AN OLDER VERSION'S OUTPUT OLDER VERSION]]
 */
final class LuceneMatrix {
    private static final String[] MODES = {"BEST_SPEED", "BEST_COMPRESSION"};
    private static final List<String> VARIANTS = Arrays.asList(
            "basic", "loose", "merged", "hard", "sliced", "sorted", "generations", "wide", "mixed", "small",
            "taken", "tombstones", "tiny", "chunks");
    /** Large ones, about bits and chunk indices, which do not depend on the mode. */
    private static final List<String> SPEED_ONLY = Arrays.asList("tiny", "chunks");

    /** Chunks of 16 or 60 KiB; from Lucene 8.7 on they are larger. */
    private static final boolean HAS_SMALL_CHUNKS =
            Version.LATEST.major < 8 || Version.LATEST.major == 8 && Version.LATEST.minor < 7;

    private final Path output;
    private final String mode;
    private final Documents documents;
    private int next;

    private LuceneMatrix(Path output, String mode, String variant) {
        this.output = output;
        this.mode = mode;
        documents = new Documents((Version.LATEST + mode + variant).hashCode());
    }

    public static void main(String[] arguments) throws Exception {
        Path root = Paths.get(arguments[0]);
        Files.createDirectories(root);
        String wanted = arguments.length > 1 ? arguments[1] : "all";
        for (String mode : MODES) {
            for (String variant : wanted.equals("all") ? VARIANTS : Arrays.asList(wanted.split(","))) {
                if (mode.equals("BEST_SPEED") || !SPEED_ONLY.contains(variant)) produce(root, mode, variant, null);
            }
            if (arguments.length <= 3) continue;
            for (String variant : new String[] {"basic", "merged"}) {
                String older = arguments[3] + "-" + mode + "-" + variant;
                produce(root, mode, "upgraded-" + variant, Paths.get(arguments[2]).resolve(older));
            }
        }
    }

    private static void produce(Path root, String mode, String variant, Path older) throws Exception {
        String name = Version.LATEST + "-" + mode + "-" + variant;
        Path folder = root.resolve(name);
        Files.createDirectories(folder);
        try {
            if (older != null) copy(older, folder);
            new LuceneMatrix(folder, mode, variant).write(variant);
            Files.deleteIfExists(folder.resolve("write.lock"));
            Expectation.write(folder, root.resolve(name + ".tsv"));
        } catch (Exception | LinkageError failure) {
            // The run goes on: a version may lack what a variant needs, and the log says which.
            System.out.println("FAILED " + name + ": " + failure);
            failure.printStackTrace();
            Files.deleteIfExists(root.resolve(name + ".tsv"));
        }
    }

    private static void copy(Path from, Path to) throws Exception {
        List<Path> files;
        try (Stream<Path> stream = Files.list(from)) {
            files = stream.collect(Collectors.toList());
        }
        for (Path file : files) Files.copy(file, to.resolve(file.getFileName()));
    }

    private void write(String variant) throws Exception {
        switch (variant) {
            case "basic": basic(false, 220); break;
            case "loose": basic(true, 150); break;
            case "merged": merged(); break;
            case "hard": hard(); break;
            case "sliced": sliced(); break;
            case "tiny": tiny(); break;
            case "sorted": sorted(); break;
            case "generations": generations(); break;
            case "wide": wide(); break;
            case "chunks": chunks(); break;
            case "mixed": mixed(); break;
            case "small": small(); break;
            case "taken": taken(); break;
            case "tombstones": tombstones(); break;
            default: upgraded();
        }
    }

    // Writers.

    private IndexWriterConfig config() throws Exception {
        IndexWriterConfig config = new IndexWriterConfig();
        config.setCodec(EngineAPI.codec(mode));
        config.setMergePolicy(NoMergePolicy.INSTANCE);
        config.setMergeScheduler(new SerialMergeScheduler());
        config.setMaxBufferedDocs(1_000_000);
        config.setRAMBufferSizeMB(1500);
        EngineAPI.setSoftDeletesField(config, Documents.SOFT_DELETES);
        return config;
    }

    private IndexWriterConfig mergingConfig(long keptFrom, double compoundRatio) throws Exception {
        return retainingConfig(new LogDocMergePolicy(), keptFrom, compoundRatio);
    }

    private IndexWriterConfig retainingConfig(MergePolicy inner, long keptFrom, double compoundRatio)
            throws Exception {
        EngineAPI.setCompoundRatio(inner, compoundRatio);
        MergePolicy policy = EngineAPI.retaining(Documents.SOFT_DELETES,
                () -> LongPoint.newRangeQuery("_seq_no", keptFrom, Long.MAX_VALUE), inner);
        EngineAPI.setCompoundRatio(policy, compoundRatio);
        IndexWriterConfig config = config();
        config.setMergePolicy(policy);
        config.setUseCompoundFile(compoundRatio > 0);
        return config;
    }

    private interface Work { void on(IndexWriter writer) throws Exception; }

    private void write(IndexWriterConfig config, Work work) throws Exception {
        try (Directory directory = new NIOFSDirectory(output);
                IndexWriter writer = new IndexWriter(directory, config)) {
            work.on(writer);
            writer.commit();
        }
    }

    private void add(IndexWriter writer, int count, boolean hasBlocks) throws Exception {
        for (int index = 0; index < count; index++, next++) {
            if (hasBlocks && next % 9 == 4) {
                writer.addDocuments(documents.block(next));
            } else {
                writer.addDocument(documents.root(next));
            }
        }
    }

    private void replace(IndexWriter writer, int number, boolean hasBlocks) throws Exception {
        List<Document> block = hasBlocks && number % 9 == 4
                ? documents.block(number) : Collections.singletonList(documents.root(number));
        EngineAPI.softUpdate(writer, Documents.term(number), block, Documents.softDelete());
    }

    private void delete(IndexWriter writer, int number) throws Exception {
        if (!EngineAPI.HAS_SOFT_DELETES) {
            writer.deleteDocuments(Documents.term(number));
            return;
        }
        List<Document> tombstone = Collections.singletonList(documents.tombstone(number));
        EngineAPI.softUpdate(writer, Documents.term(number), tombstone, Documents.softDelete());
    }

    /** Segments with replaced and deleted documents among them and over them, nested ones too. */
    private void churn(IndexWriter writer, int count, boolean hasBlocks) throws Exception {
        for (int segment = 0; segment < 3; segment++) {
            int first = next;
            add(writer, count, hasBlocks);
            for (int number = first; number < next; number += 13) replace(writer, number, hasBlocks);
            if (segment > 0) {
                for (int number = segment; number < first; number += 7) replace(writer, number, hasBlocks);
                for (int number = segment + 3; number < first; number += 17) delete(writer, number);
            }
            writer.commit();
        }
    }

    // Variants.

    private void basic(boolean isLoose, int count) throws Exception {
        IndexWriterConfig config = config();
        config.setUseCompoundFile(!isLoose);
        write(config, writer -> churn(writer, count, true));
    }

    /** A shard small enough for a fixture: nested, routed, replaced and deleted documents, and two sliced chunks. */
    private void small() throws Exception {
        write(config(), writer -> {
            churn(writer, 9, true);
            byte[] line = documents.source(100);
            for (int size : new int[] {170_000, HAS_SMALL_CHUNKS ? 130_000 : 1_300_000}) {
                add(writer, 3, true);
                byte[] source = new byte[size];
                for (int at = 0; at < size; at++) source[at] = line[at % line.length];
                writer.addDocument(documents.root(11 * next, source));
            }
            add(writer, 2, false);
            writer.deleteDocuments(Documents.term(3), Documents.term(20));
        });
    }

    private void merged() throws Exception {
        write(config(), writer -> churn(writer, 200, true));
        write(mergingConfig(500, 1), writer -> writer.forceMerge(1));
        write(config(), writer -> add(writer, 20, true));
        write(mergingConfig(560, 0), writer -> {
            delete(writer, 50);
            replace(writer, 60, false);
            writer.forceMerge(1);
        });
        write(config(), writer -> replace(writer, 75, false));
    }

    private void hard() throws Exception {
        write(config(), writer -> {
            add(writer, 400, true);
            writer.commit();
            for (int number = 0; number < 400; number += 6) writer.deleteDocuments(Documents.term(number));
            // Long enough for some chunks without a live document.
            for (int number = 100; number < 300; number++) writer.deleteDocuments(Documents.term(number));
            writer.commit();
            for (int number = 3; number < 90; number += 10) replace(writer, number, false);
            writer.deleteDocuments(Documents.term(13), Documents.term(23));
            writer.commit();
            for (int number = 301; number < 350; number += 10) delete(writer, number);
            for (int number = 302; number < 350; number += 10) writer.deleteDocuments(Documents.term(number));
        });
    }

    private void sliced() throws Exception {
        write(config(), writer -> {
            int[] sizes = {20, 40_000, 32_768, 170_000, 163_840, 1_300_000, 990_000, 3_000_000, 5, 70_000, 1_228_800};
            for (int size : sizes) {
                writer.addDocument(documents.root(11 * next++ , documents.source(size)));
                for (int index = 0; index < next % 3; index++) {
                    writer.addDocument(documents.root(1 + 11 * next++, documents.source(30)));
                }
            }
            writer.commit();
            for (int size : new int[] {16_384, 33_000, 700_000, 3_000_000}) {
                writer.addDocument(documents.root(11 * next++, documents.noise(size)));
            }
            replace(writer, 11, false);
        });
    }

    /** Blocks of 65 536 documents of which all, most and few are softly deleted. */
    private void tiny() throws Exception {
        IndexWriterConfig config = config();
        config.setUseCompoundFile(Version.LATEST.minor % 2 == 0);
        write(config, writer -> {
            for (; next < 143_000; next++) {
                String group = next < 65_536 ? "all" : next < 131_072 ? next % 16 == 0 ? "kept" : "most" : "last";
                if (group.equals("last") && next % 5 == 0) group = "few";
                byte[] source = documents.source(next % 701 == 0 ? 600 : next % 7);
                writer.addDocument(documents.tiny(next, group, source));
            }
            writer.commit();
            for (String group : new String[] {"all", "most", "few"}) {
                Term term = new Term("group", group);
                if (EngineAPI.HAS_SOFT_DELETES) {
                    writer.updateDocValues(term, Documents.softDelete());
                } else {
                    writer.deleteDocuments(term);
                }
            }
            for (int number = 131_073; number < 143_000; number += 37) writer.deleteDocuments(Documents.term(number));
        });
    }

    private void sorted() throws Exception {
        Sort order = new Sort(new SortField("_seq_no", SortField.Type.LONG, true),
                new SortField("c_sorted", SortField.Type.STRING));
        IndexWriterConfig config = config();
        config.setIndexSort(order);
        EngineAPI.setParentField(config, "__parent");
        boolean hasBlocks = EngineAPI.HAS_PARENT_FIELD;
        write(config, writer -> churn(writer, 150, hasBlocks));
        IndexWriterConfig merging = mergingConfig(300, 0.5);
        merging.setIndexSort(order);
        EngineAPI.setParentField(merging, "__parent");
        write(merging, writer -> {
            writer.forceMerge(1);
            for (int number = 0; number < 150; number += 25) replace(writer, number, hasBlocks);
        });
    }

    /** More than 36 generations, so that they have two digits in base 36. */
    private void generations() throws Exception {
        write(config(), writer -> {
            add(writer, 90, true);
            writer.commit();
            for (int round = 0; round < 42; round++) {
                Term term = Documents.term(round);
                if (round % 7 == 3 && EngineAPI.HAS_SOFT_DELETES) {
                    writer.updateDocValues(term, Documents.softDelete());
                } else {
                    writer.updateNumericDocValue(term, "a_counter", round);
                }
                if (round % 10 == 9) writer.deleteDocuments(term);
                if (round == 20) add(writer, 30, false);
                writer.commit();
            }
        });
    }

    /** Field numbers of several bytes and documents of many fields. */
    private void wide() throws Exception {
        write(config(), writer -> {
            for (int index = 0; index < 300; index++, next++) {
                Document document = documents.root(next, documents.source(index * 3));
                int count = index % 50 == 7 ? 700 : index % 17;
                for (int field = 0; field < count; field++) {
                    String name = "wide" + (index * 31 + field * 7) % 2500;
                    document.add(new org.apache.lucene.document.StoredField(name, (long) field * 3_600_000));
                }
                writer.addDocument(document);
            }
            for (int number = 1; number < 300; number += 9) replace(writer, number, false);
        });
    }

    /** More chunks than a block of the chunk index holds. */
    private void chunks() throws Exception {
        int size = HAS_SMALL_CHUNKS ? 16_500 : 82_000;
        int count = 1100;
        write(config(), writer -> {
            byte[] base = documents.source(size);
            for (; next < count; next++) {
                byte[] source = base.clone();
                for (int at = 20 + next % 40; at < 2000; at += 211) source[at] = (byte) ('A' + next % 26);
                writer.addDocument(documents.tiny(next, "big", source));
                // Now and then a chunk of several documents.
                if (next % 50 == 3) writer.addDocument(documents.tiny(100_000 + next, "small", documents.source(9)));
            }
            for (int number = 5; number < count; number += 31) writer.deleteDocuments(Documents.term(number));
        });
    }

    /** Both modes in one index, then merged with chunks taken over as they are. */
    private void mixed() throws Exception {
        for (String each : MODES) {
            IndexWriterConfig config = config();
            config.setCodec(EngineAPI.codec(each));
            write(config, writer -> {
                add(writer, 300, false);
                for (int number = 0; number < next; number += 40) replace(writer, number, false);
            });
        }
        write(config(), writer -> add(writer, 300, false));
        write(mergingConfig(700, 1), writer -> {
            writer.forceMerge(2);
            add(writer, 10, false);
        });
    }

    /** Segments taken over from another index as they are, as shrinking and splitting do. */
    private void taken() throws Exception {
        Path other = Files.createTempDirectory("taken");
        try (Directory directory = new NIOFSDirectory(other)) {
            try (IndexWriter writer = new IndexWriter(directory, config())) {
                churn(writer, 22, true);
            }
            write(config(), writer -> {
                add(writer, 5, false);
                writer.commit();
                writer.addIndexes(directory);
                for (int number = 0; number < 60; number += 9) replace(writer, number, false);
                for (int number = 2; number < 60; number += 14) writer.deleteDocuments(Documents.term(number));
            });
            for (String file : directory.listAll()) directory.deleteFile(file);
        }
        Files.delete(other);
    }

    /** Segments without a live document that are kept for their history, beside one with. */
    private void tombstones() throws Exception {
        write(retainingConfig(NoMergePolicy.INSTANCE, 0, 1), writer -> {
            add(writer, 40, false);
            writer.commit();
            for (int number = 0; number < 40; number++) delete(writer, number);
            writer.commit();
            add(writer, 3, false);
        });
    }

    /** An older version's index that this one goes on with. */
    private void upgraded() throws Exception {
        write(config(), writer -> {
            next = 1000;
            add(writer, 60, true);
            for (int number = 2; number < 150; number += 8) {
                writer.deleteDocuments(Documents.term(number));
                replace(writer, number + 3, false);
            }
            writer.commit();
            for (int number = 0; number < 40; number += 10) delete(writer, number);
        });
    }
}
